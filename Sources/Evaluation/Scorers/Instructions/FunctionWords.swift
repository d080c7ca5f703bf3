//  Small words that texts of a language are full of, and letters that its neighbours lack.

struct FunctionWords {
    let code: String
    let words: Set<String>
    let letters: Set<Unicode.Scalar>

    private init(_ code: String, _ words: String, letters: String = "") {
        self.code = code
        self.words = Set(words.split(separator: " ").map(String.init))
        self.letters = Set(letters.unicodeScalars)
    }

    /// Of a script whose texts hold none of the words.
    static let fallback: [Script: String] = [.latin: "en", .cyrillic: "ru", .arabic: "ar", .devanagari: "hi"]

    static let languages: [Script: [FunctionWords]] = [
        .latin: latin, .cyrillic: cyrillic, .arabic: arabic, .devanagari: devanagari,
    ]

    private static let latin = [
        FunctionWords(
            "en",
            "the and of to in is that it was for on with as are at be this have from or by not but what all were when we there can an your which their if will each about how up out them then she he they his her you i my me do has had would could should so no more one people full"
        ),
        FunctionWords(
            "de",
            "der die das und ist nicht ein eine einen einem einer zu mit von auf für im den dem des sich es er sie wir ich war waren auch als an wie aber oder wenn nach bei aus noch nur über so dass werden wird hat haben voller bin sind",
            letters: "ßäöü"),
        FunctionWords(
            "fr",
            "le la les des et est un une du de dans que qui en pour pas sur ne au aux avec ce cette il elle nous vous je se son sa ses par plus mais ou où sont était être ont leur leurs c'est d'une qu'il",
            letters: "çœèêàùîô"),
        FunctionWords(
            "es",
            "el la los las y es un una de del que en no se por con para su sus al lo como más pero o este esta está muy fue son era ser hay yo mi tu ya también cuando donde sobre",
            letters: "ñ¿¡"),
        FunctionWords(
            "pt",
            "o a os as e é um uma de do da dos das que em no na nos nas não se por com para seu sua ao à como mais mas ou este esta foi são era ser muito você eu ele ela isso também quando pelo pela",
            letters: "ãõ"),
        FunctionWords(
            "it",
            "il lo la i gli le e è un una di del della dei delle che in non si per con su al alla nel nella come più ma o questo questa era sono essere anche molto ho ha mi ti ci quando dove perché sua suo",
            letters: "ìò"),
        FunctionWords(
            "nl",
            "de het een en van is niet dat die in op te zijn voor met aan er maar om ook als bij nog naar wordt dit was ik je hij ze we heeft hebben kan deze door over uit zo"
        ),
        FunctionWords(
            "sv",
            "och att det är en ett som på i av för med den till inte har var jag vi de han hon om men från så kan ska när"
        ),
        FunctionWords(
            "da",
            "og at det er en et som på i af for med den til ikke har var jeg vi de han hun om men fra så kan skal når blev bliver meget noget nogle efter hvad ud op mig dig sig",
            letters: "æø"),
        FunctionWords(
            "no",
            "og å det er en et som på i av for med den til ikke har var jeg vi de han hun om men fra så kan skal når ble blir veldig noe noen mye etter hva ut opp meg deg seg",
            letters: "æø"),
        FunctionWords(
            "fi",
            "ja on ei se että hän oli ovat olla mutta kun niin kuin myös joka tai minä sinä me he tämä ne voi vain sen jos nyt hyvin kaikki sekä",
            letters: "äö"),
        FunctionWords(
            "pl",
            "i w nie na się z do jest to że jak ale po co tak za od dla był była były są czy tylko przez może ten ta oraz już",
            letters: "łąęśżźćń"),
        FunctionWords(
            "cs", "a je se v na že to s z do si jsem ale jako jsou byl byla bylo pro ve po za tak by nebo který už",
            letters: "ěřůčšž"),
        FunctionWords(
            "sk", "a je sa v na že to s z do si som ale ako sú bol bola bolo pre vo po za tak by alebo ktorý už",
            letters: "ľĺŕôčšž"),
        FunctionWords(
            "ro", "și în de la cu pe un o este nu că se a din pentru mai care sunt au fost dar ca sau lui ei",
            letters: "șțăâ"),
        FunctionWords(
            "hu", "a az és hogy nem is egy van volt de ez meg csak már ha mint én ő még vagy kell lesz", letters: "őűáé"
        ),
        FunctionWords(
            "tr", "ve bir bu da de için ile çok ne var mı gibi ama daha olarak ben sen o kadar en olan değil",
            letters: "ığşı"),
        FunctionWords(
            "vi", "và là của có không một các được trong cho với người những này đã khi tôi rất đó như để từ",
            letters: "ơưđăạảấầậắằếềệộốồớờợụứừự"),
        FunctionWords(
            "id",
            "yang dan di ini itu dengan untuk tidak dari dalam akan pada adalah ke saya kami mereka juga atau ada bisa oleh sudah"
        ),
        FunctionWords("tl", "ang ng sa na mga at ay si ito hindi ko mo niya ka ako kung para po may isang"),
        FunctionWords(
            "sw",
            "na ya wa kwa ni katika la za cha kuwa hii hiyo si yake watu au pia sana lakini ambao kama yao ili hali"),
        FunctionWords(
            "ca", "el la els les i és un una de del que en no per amb al més però són era aquest aquesta molt també"),
        FunctionWords("hr", "i je u na se da za od su sa kao ali što bio bila bilo ili kako sam koji nije"),
        FunctionWords("sl", "in je v na se da za od so z kot ali kaj bil bila bilo kako sem ki ni"),
        FunctionWords("et", "ja on ei see et oli ta ma kui ka aga mis või siis nii oma kes"),
        FunctionWords("lt", "ir yra ne tai kad buvo jis kaip bet iš su į po už apie", letters: "ėųįš"),
        FunctionWords("lv", "un ir nav tas ka bija viņš kā bet no ar uz par", letters: "āēīņļ"),
        FunctionWords("af", "die en van is nie wat in op te het vir met aan ek jy hy sy ons was om maar ook dit 'n"),
        FunctionWords("sq", "dhe në një të është për me që nga si por u kjo ky", letters: "ë"),
    ]

    private static let cyrillic = [
        FunctionWords(
            "ru",
            "и в не на что он с как это по но из у за от его она они был была было были так же все для мы вы я который очень",
            letters: "ыэё"),
        FunctionWords(
            "uk",
            "і в не на що він з як це по але із у за від його вона вони був була було були так же все для ми ви та є",
            letters: "іїєґ"),
        FunctionWords(
            "bg", "и в не на че той с как това по но от за го тя те беше са да се е ще като си във което много",
            letters: "ъ"),
        FunctionWords("mk", "и во не на дека тој со како ова по но од за го таа тие беше се да е ќе", letters: "ќѓјљњ"),
    ]

    private static let arabic = [
        FunctionWords("ar", "في من على إلى أن هذا هذه التي الذي كان كانت مع عن لا ما هو هي و كل قد", letters: "ةىأإ"),
        FunctionWords("fa", "و در به از که این است را با برای آن یک می بود های شد تا بر هم خود", letters: "پچژگکی"),
        FunctionWords("ur", "اور کے میں کی ہے کا سے کو یہ نے ہیں پر کہ اس تھا تھے بہت", letters: "ٹڈڑںےہھ"),
    ]

    private static let devanagari = [
        FunctionWords("hi", "है और के में की का से को यह पर हैं ने कि भी था थे थी एक नहीं लोग बहुत हम मैं आज"),
        FunctionWords("mr", "आहे आणि च्या या मध्ये ते ही हे तो ती होते होता नाही एक आहेत मी व ला खूप आज", letters: "ळ"),
        FunctionWords("ne", "छ र को मा यो थियो हो गर्न पनि छन् भने का लागि म हामी धेरै एक भएको आज"),
    ]
}
